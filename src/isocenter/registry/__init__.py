"""The hosted AEs and the peers as they stand now: those of the settings, and beside them those in the database.

`watching.Watch.now()` gives them to a running process, which so sees a change without a reload; `changing.Registry`
makes changes; `roster` says what holds where both speak of a title.
"""
