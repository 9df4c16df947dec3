"""Apps with tokens of their own."""

import os
from unittest import mock

from device import WithDevices

import kinfolk


class Tokens(WithDevices):
    def test_an_app_goes_where_its_token_lets_it_and_nowhere_without(self) -> None:
        device = self.first()
        token = self.directory / "token"
        authorize = ["apps", "authorize", "notes", "--collections", "notes", "--scope", "write", "--out", str(token)]
        device.kin(*authorize)
        with mock.patch.dict(os.environ, {"KINFOLK_TOKEN_FILE": str(token)}):
            records = self.client(device).records
        records.put("notes", "k", {"n": 1})
        self.assertEqual(records.get("notes", "k").fields, {"n": 1})
        with self.assertRaises(kinfolk.PermissionDenied):
            records.put("others", "k", {"n": 1})
        with self.assertRaises(kinfolk.Unauthenticated):
            self.client(device, token="").records.get("notes", "k")
        device.kin("apps", "revoke", "notes")
        with self.assertRaises(kinfolk.Unauthenticated):
            records.get("notes", "k")
