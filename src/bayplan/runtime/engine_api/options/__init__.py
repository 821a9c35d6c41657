"""Container options in the words of Docker's API: one table, written into create bodies and read from inspections.

``shape`` is what options are read from, ``option`` what one is; the other modules hold the options by their theme, and
``table`` all of them.
"""

from bayplan.runtime.engine_api.options.option import UNREADABLE, Option
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.runtime.engine_api.options.table import TABLE, gaps, settled, undeclared, written

__all__ = ["TABLE", "UNREADABLE", "Body", "Option", "Shape", "gaps", "settled", "undeclared", "written"]
