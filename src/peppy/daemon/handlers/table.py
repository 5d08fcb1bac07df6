"""Which handler serves which request."""

from functools import partial

from peppy.daemon.core import Core
from peppy.daemon.dispatch import Handler
from peppy.daemon.handlers import (
    add,
    build,
    info,
    logs,
    member_info,
    node_info,
    prune,
    remove,
    repo_add,
    repo_list,
    repo_refresh,
    repo_remove,
    run,
    service_stop,
    stack_list,
    stack_reset,
    stop,
    sync,
    topic_info,
    topic_list,
)
from peppy.protocol import frames, streams
from peppy.protocol.calls import OF_CALLERS
from peppy.protocol.frames import Frame


def handlers(core: Core) -> dict[type[Frame], Handler]:
    """All requests of the command line."""
    table: dict[type[Frame], Handler] = {
        frames.Info: partial(info.handle, core),
        frames.StackList: partial(stack_list.handle, core),
        frames.StackReset: partial(stack_reset.handle, core),
        frames.TopicList: partial(topic_list.handle, core),
        frames.TopicInfo: partial(topic_info.handle, core),
        frames.MemberInfo: partial(member_info.handle, core),
        frames.NodeSync: partial(sync.handle, core),
        frames.NodeAdd: partial(add.handle, core),
        frames.NodeBuild: partial(build.handle, core),
        frames.NodeRun: partial(run.handle, core),
        frames.NodeStop: partial(stop.handle, core),
        frames.NodeRemove: partial(remove.handle, core),
        frames.NodeInfo: partial(node_info.handle, core),
        frames.NodePrune: partial(prune.handle, core),
        frames.NodeLogs: partial(logs.handle, core),
        frames.RepoList: partial(repo_list.handle, core),
        frames.RepoRefresh: partial(repo_refresh.handle, core),
        frames.RepoAdd: partial(repo_add.handle, core),
        frames.RepoRemove: partial(repo_remove.handle, core),
        frames.ServiceStop: partial(service_stop.handle, core),
    }
    elsewhere = {frames.Hello, frames.Cancel, frames.TopicWatch, streams.Unsubscribe, streams.AttachmentStale}
    assert set(table) == frames.FROM_CLI - elsewhere - OF_CALLERS
    return table
