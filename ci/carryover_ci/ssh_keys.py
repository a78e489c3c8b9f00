# SPDX-License-Identifier: GPL-2.0-only
"""The keys of the bench's SSH: the user's and the target's, made once and kept in the cache.

They are of use only to reach an emulated machine on the loopback interface of this host.
"""

from dataclasses import dataclass
from pathlib import Path

from carryover_ci.cache import cache_root, lock, new_folder
from carryover_ci.run import output_of


@dataclass(frozen=True)
class SshKeys:
    """Where the keys lie."""

    folder: Path

    @property
    def user_key(self) -> Path:
        """The private key that logs in as root; `.pub` beside it."""
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """The target's private key in dropbear's format."""
        return self.folder / "dropbear_host_key"

    @property
    def known_hosts(self) -> Path:
        """For ssh's UserKnownHostsFile, with HostKeyAlias carryover-bench."""
        return self.folder / "known_hosts"


HOST_KEY_ALIAS = "carryover-bench"


def ssh_keys() -> SshKeys:
    """The keys, made now if there are none."""
    folder = cache_root() / "ssh"
    keys = SshKeys(folder)
    if folder.exists():
        return keys
    with lock("ssh"):
        if not folder.exists():
            with new_folder(folder) as scratch:
                _generate(SshKeys(scratch))
    return keys


def _generate(keys: SshKeys) -> None:
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", HOST_KEY_ALIAS, "-f"]
    output_of([*keygen, keys.user_key])
    output_of(["dropbearkey", "-t", "ed25519", "-f", keys.host_key])
    told = output_of(["dropbearkey", "-y", "-f", keys.host_key])
    public = next(line for line in told.splitlines() if line.startswith("ssh-ed25519 "))
    kind, blob = public.split()[:2]
    keys.known_hosts.write_text(f"{HOST_KEY_ALIAS} {kind} {blob}\n")
    keys.folder.chmod(0o700)
