"""Why a plan takes the time it does: what would make it faster, and why other plans are not
better.
"""
