"""What ``missive --help`` and missive(1) say beside the commands: exit codes, the environment, where to read on."""

from __future__ import annotations

EXIT_CODES: tuple[tuple[str, str], ...] = (
    ("0", "Done. Of `send` and `stream`: the agent answered, whatever became of its task."),
    ("1", "`plugin check` and `plugin show`: a plugin has a fault."),
    ("2", "The command line could not be read."),
    ("64", "A value, a frame or a flag is not acceptable."),
    ("69", "The agent could not be reached, or the connection broke."),
    ("70", "It did not come out well, or a fault in missive."),
    ("74, 75", "A local file, or the store, could not be read or written."),
    ("76", "The agent answered an error, or what A2A does not allow."),
    ("77", "A credential is missing or was refused."),
    ("78", "The configuration cannot be used, or a plugin is missing or broken."),
    ("80, 81", "`task wait`: the task failed or was rejected; was cancelled."),
    ("82", "The deadline has passed."),
    ("83, 84", "`task wait`: it waits for an answer; for an authorisation."),
    ("128+N", "Signal N ended it: 130 is Ctrl-C."),
    ("141", "Whoever read standard output has gone."),
)
ENVIRONMENT: tuple[tuple[str, str], ...] = (
    ("MISSIVE_HOME", "The folder for everything, in place of the XDG folders."),
    ("MISSIVE_CONFIG", "The configuration file, without `--config`."),
    ("MISSIVE_PROFILE", "The profile, without `--profile`."),
    ("MISSIVE_REPO_CONFIG", "1: use the `missive.toml` of the repository around this folder."),
    ("MISSIVE_PLUGINS_DISABLED", "Plugins to leave out, with commas between."),
    ("MISSIVE_LOG_FORMAT", "json: what goes to standard error is lines of JSON."),
    ("MISSIVE_LOG_JSON", "1: the same."),
    ("NO_COLOR", "No colour."),
)
READ_ON: tuple[tuple[str, str], ...] = (
    ("missive COMMAND --help", "A command: its verbs, flags and examples; `-h` is shorter."),
    ("man missive-COMMAND", "The same as a manual page."),
    ("missive contract list", "JSON Schemas of all that is read and written."),
    ("missive doctor", "What is broken, and the command that mends it."),
    ("missive skill show", "A page for coding agents."),
)
