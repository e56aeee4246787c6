"""The writers of the kernels: from a placed layer to its C."""
