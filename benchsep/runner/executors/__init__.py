"""Where jobs run: in this process, in local worker processes, on a Dask cluster."""
