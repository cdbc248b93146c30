"""Pipeline schedules: the order of passes on every stage, what they keep in memory, how long they
take.

`build.build` makes a schedule by name, `simulate.simulate` times it, `inflight.peak_in_flight`
counts the activations it keeps, and `closed_form` bounds its time without simulating.
"""
