"""One process of a simulated Windows machine: see windows_double."""

import sys

import forked_process
import windows_double


def prepare():
    """Import what most of these processes need, to fork them; the files of the package see the double."""
    windows_double.install()
    forked_process.prepare()


def main(machine, *arguments):
    """Run the command, or code after ``-c`` or ``-a``."""
    # That of a fork has been installed.
    if sys.platform != "win32":
        windows_double.install(*(["mcp.server.stdio", "mcp_types", "pytest"] if arguments[0] in ("mcp", "-a") else []))
    windows_double.join(machine)
    windows_double.longest_path = 259
    # What the streams of a process that runs in a pipe have there; a console takes UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if not stream.isatty():
            stream.reconfigure(encoding="cp1252", errors=stream.errors)
    if arguments[0] in ("-a", "-c"):
        sys.argv = list(arguments)
        exec(compile(arguments[1], "code", "exec"), {"__name__": "__main__"})
    else:
        from cometflux.cli import main

        sys.exit(main(list(arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
