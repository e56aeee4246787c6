"""Search spaces, the `Subnet` value, and the shape graph of a subnet.

Nothing here knows weights: a space says which networks exist, a subnet names one, a shape graph draws it.
"""
