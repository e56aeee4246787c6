"""From a float network to its int8 graph, and how well that graph does.

Weight codes come from the supernet's full filters, so the codes of a subnet are a slice of the supernet's.
"""
