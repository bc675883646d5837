"""ann2neo: record artificial neural networks like brains.

Every public name is listed in ``__init__.pyi`` and loaded when it is first used, so
that importing ann2neo loads neither Keras nor any other heavy library.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
