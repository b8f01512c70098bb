"""The metadata that every table of the store belongs to.

Names of tables begin with `warren_`: a database may be shared with an application.
"""

from sqlalchemy import MetaData

PREFIX = "warren_"
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
