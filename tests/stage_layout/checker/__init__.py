"""An integer program of stage layouts that checks the programs which searches run."""
