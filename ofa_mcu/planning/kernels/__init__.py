"""The kernels there are, as the planner sees them."""
