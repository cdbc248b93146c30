"""From a plan to what launches exactly that plan: framework arguments, launchers, rank tables.

Every exporter is a pure function from an `ExportJob` to text. What its target cannot express is an
`Inexpressible` error that names the field of the plan, never silence.
"""
