"""Which room may import which: the table of the layers."""

#: What each room may import beside itself. A room within a room is listed apart
#: where its neighbours have an order of their own.
MAY_IMPORT = {
    "programs": "",
    "model": "",
    "security": "model",
    "output": "model",
    "config": "model security output",
    "runs": "model security config output",
    "process.tracking": "model",
    "process": "model config output process.tracking",
    "storage.state": "model",
    "storage": "model security output storage.state",
    "notifications": "model security output config process process.tracking",
    "web.server": "model security config output runs",
    "web.console": "model config",
    "web.resources": "model security config output runs web.server web.console",
    "web.monitoring": "programs model security output runs web.server web.resources",
    "web.openapi": "model security config output runs web.server web.resources",
    "web": "model security config output runs web.server web.console web.resources "
    "web.monitoring web.openapi",
    "daemon.configuration": "model security config process storage",
    "daemon.lifecycle": "model",
    "daemon.logs": "model web.server",
    "daemon": "programs model security output config runs process process.tracking "
    "storage notifications web web.monitoring web.server daemon.configuration "
    "daemon.lifecycle",
    "tap": "programs model daemon daemon.configuration daemon.lifecycle daemon.logs "
    "config notifications",
    "client.transport": "client",
    "client.doctor": "client client.transport",
    "client.cli": "programs client client.transport",
    "client.commands": "programs client client.transport client.doctor client.cli",
    "client": "programs client.transport client.doctor client.cli client.commands",
}
