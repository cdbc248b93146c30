"""Pipeline schedules: what every stage runs in which order, keeps in memory, and how long it takes.

`registry.build` makes a schedule by name, `simulate.simulate` times it, `inflight.peak_in_flight`
counts the activations it keeps, `closed_form` bounds its time without simulating.
"""
