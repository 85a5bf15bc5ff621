"""OpenSLO v1: SLO, SLI, Service, AlertPolicy, AlertCondition and DataSource, with references between the documents of a file.

What OpenSLO has no field for stands in an annotation of its SLO, as JSON; what makes an event good, in the spec of a metric
source of the type `reporter`.

Source: https://github.com/OpenSLO/OpenSLO#specification
"""

from reporter.formats.openslo.reading import read
from reporter.formats.openslo.writing import write

__all__ = ["read", "write"]
