"""What the tests with other programs share."""

from pynetdicom_pause import mend

mend()
