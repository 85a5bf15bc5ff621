"""Every error that `reporter` raises on purpose.

    ReporterError                 the root: catch this to catch all of them
    ├── UsageError                the API was used wrongly, where it stands (`@call()` without a name)
    ├── ConfigError               reporter.yaml, an SLO or a database URL says something that can't be meant
    ├── StoreError                the database can't be reached, read or written
    │   ├── SchemaError           … because its schema is of another version
    │   └── StoreConflict         … because somebody else wrote the same rows at that moment: try again
    ├── CatalogueUnreachable      a later price catalogue can't be fetched now: try again later
    ├── LeaseHeld                 another reporter is at work: try again later
    ├── AddressTaken              what `serve --listen` names can't be listened on now: try again later
    ├── ExpositionError           what would have been pushed breaks the exposition format
    └── PublishError              the gateway refused what was pushed
        └── PublishRetryLater     … or could not be reached in time: the next push carries the same truth

Recording never raises any of them but `UsageError`: trouble while recording is counted, not thrown.
A message names the thing, the place and the remedy.  `exit_code` is what the command line returns for it.
"""


class ReporterError(Exception):
    """The root of all errors that `reporter` raises on purpose."""

    exit_code = 1


class UsageError(ReporterError, TypeError):
    """The API was used in a way that can't work; raised where the mistake stands."""

    exit_code = 2


class ConfigError(ReporterError):
    """A setting that can't be meant; the message has file, line and field where they are known."""

    exit_code = 2


class StoreError(ReporterError):
    """The database can't be reached, read or written."""


class SchemaError(StoreError):
    """The database's schema is of a version that this program can't work with."""


class StoreConflict(StoreError):
    """Somebody else wrote the same rows at the same moment; nothing was kept, and trying again is right."""

    exit_code = 75


class LeaseHeld(ReporterError):
    """Another reporter holds the lease; nothing was done, and trying again later is right."""

    exit_code = 75


class AddressTaken(ReporterError):
    """Somebody else listens there, or the address is not there yet; trying again later is right."""

    exit_code = 75


class CatalogueUnreachable(ReporterError):
    """The network, or the server of price catalogues, is in trouble."""

    exit_code = 75


class QueryError(ReporterError):
    """A query that is none, would do more than read, or takes too long."""

    exit_code = 2


class ExpositionError(ReporterError):
    """A family, sample or label that a Pushgateway would refuse, or worse, accept."""


class PublishError(ReporterError):
    """The gateway answered, and refused."""


class PublishRetryLater(PublishError):
    """The gateway did not answer usefully within the deadline."""

    exit_code = 75
