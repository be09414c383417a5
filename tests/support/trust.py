"""Files with certificates and keys."""

from pathlib import Path

import trustme


class Files:
    """An authority, and a certificate of its, in files."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True)
        authority = trustme.CA()
        # With an authority in between, which has to be shown, too.
        issued = authority.create_child_ca().issue_cert("127.0.0.1")
        self.ca, self.cert, self.key, self.both = (
            str(self.folder / name) for name in ("ca", "cert", "key", "both")
        )
        authority.cert_pem.write_to_path(self.ca)
        for pem in issued.cert_chain_pems:
            pem.write_to_path(self.cert, append=True)
        issued.private_key_pem.write_to_path(self.key)
        issued.private_key_and_cert_chain_pem.write_to_path(self.both)
