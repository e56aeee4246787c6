"""The int8 graph: its values, its exact arithmetic (numpy), and its file format.

`ir` holds the values, `constants` and `arithmetic` TensorFlow Lite's integer arithmetic, `reference` runs a
graph, `passes` rewrites it, `tflite_writer` and `tflite_reader` speak .tflite, `verify` compares with others.
"""

__all__: list[str] = []
