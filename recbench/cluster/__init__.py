"""One elastic Dask cluster for everything: opened here, handed on as a plain client."""
