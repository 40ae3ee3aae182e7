"""What `recbench bench NAME` measures, each beside a reference in the same run."""
