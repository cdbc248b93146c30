"""The page of `planner report`: one HTML file that holds all it shows and needs no network."""
