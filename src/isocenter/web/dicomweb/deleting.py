"""DELETE of a study, a series or an instance; off unless the installation allows it."""

from isocenter.web.call import Call
from isocenter.web.problem import Problem, not_found
from isocenter.web.reply import Reply


async def delete(call: Call) -> Reply:
    """DELETE /studies/{study}[/series/{series}[/instances/{instance}]]: 204 once it is durable."""
    deletions = call.context.deletions
    if not call.context.settings.allow_delete or deletions is None:
        raise Problem(403, "this server does not allow deletion (setting http.allow_delete)")
    path = call.path
    names = (path["study"], path.get("series", ""), path.get("instance", ""))
    count = await call.context.lanes.ingest.run(deletions.delete, *names, call.access)
    if not count:
        raise not_found(list(path)[-1])
    return Reply(204)
