# SPDX-License-Identifier: GPL-2.0-only
"""An apt of our own in the cache: packages of newer suites, without touching the system's."""

import re
from pathlib import Path

from carryover_ci.apt_sources import Mirror, machine_mirror
from carryover_ci.cache import cache_root, write_whole
from carryover_ci.run import Failure, output_of

_SUITES = ("trixie", "trixie-backports")


class PrivateApt:
    """Packages of trixie and trixie-backports: which there are, and their files."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self._folder = cache_root() / "apt"
        mirror = mirror or machine_mirror()
        for name in ("lists/partial", "archives/partial", "state"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / "state/status", "")
        lines = "".join(f"{mirror.source_line(suite)}\n" for suite in _SUITES)
        write_whole(self._folder / "sources.list", lines)
        write_whole(self._folder / "apt.conf", self._configuration())

    def update(self) -> None:
        """Fetch the package lists."""
        self._apt("apt-get", "-q", "update", "--error-on=any")

    def newest(self, pattern: str) -> tuple[str, str]:
        """The package whose name matches the regular expression `pattern`, with its newest version.

        Of several names the one with the highest version number in it.
        """
        names = self._apt("apt-cache", "search", "--names-only", f"^{pattern}$").splitlines()
        found = sorted((line.split(" - ")[0] for line in names), key=_version_in_name)
        if not found:
            raise Failure(f"No package {pattern} in {', '.join(_SUITES)} of this machine's mirror.")
        shown = self._apt("apt-cache", "madison", found[-1])
        return found[-1], shown.split("|")[1].strip()

    def download(self, package: str, version: str, folder: Path) -> Path:
        """Download one package into `folder`, without what it depends on."""
        self._apt("apt-get", "-q", "download", f"{package}={version}", folder=folder)
        return next(folder.glob(f"{package}_*.deb"))

    def download_with_dependencies(self, packages: list[str]) -> list[Path]:
        """Download `packages` ("name" or "name/suite") and all that they depend on."""
        self._apt(
            "apt-get",
            "-q",
            "-y",
            "--no-install-recommends",
            "--download-only",
            "install",
            *packages,
        )
        uris = self._apt(
            "apt-get",
            "-q",
            "-y",
            "--no-install-recommends",
            "--print-uris",
            "--reinstall",
            "--download-only",
            "-o",
            "Dir::Cache::archives=/nonexistent",
            "install",
            *packages,
        )
        names = re.findall(r"^'[^']+' (\S+\.deb) ", uris, re.MULTILINE)
        return [self._folder / "archives" / name for name in names]

    def _apt(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        command: list[str | Path] = [program, "-c", self._folder / "apt.conf", *arguments]
        return output_of(command, "Is this machine's mirror reachable (apt-get update)?", folder)

    def _configuration(self) -> str:
        folder = self._folder
        return (
            "// What the system's apt does after an update is none of ours.\n"
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Post-Invoke;\n"
            f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\nDir::Etc::preferences "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::State "{folder}/state";\nDir::State::lists "{folder}/lists";\n'
            f'Dir::State::status "{folder}/state/status";\n'
            f'Dir::State::extended_states "{folder}/state/extended_states";\n'
            f'Dir::Cache "{folder}";\nDir::Cache::archives "{folder}/archives";\n'
            'APT::Sandbox::User "";\nAPT::Architecture "amd64";\n#clear APT::Architectures;\n'
            'APT::Architectures "amd64";\nAcquire::Languages "none";\n'
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
            'Acquire::Retries "3";\nDebug::NoLocking "true";\n'
        )


def _version_in_name(package: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", package))
