"""What is learned: data set, exact preprocessing, labels; one file per task, one registry.

Preprocessing is integer arithmetic on bytes, so that a host and a device feed a network the same codes.
"""
