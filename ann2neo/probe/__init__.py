"""Record networks: layers, thresholds, capture. With study and monitor the only place
that imports Keras.
"""
