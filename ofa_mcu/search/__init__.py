"""The best subnet for a board: predicted accuracy, exact costs, NSGA-II, then measured int8 accuracy.

What does not fit is an answer, too: the binding constraint and the nearest subnet.
"""
