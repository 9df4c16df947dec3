"""Finding a daemon, shaking hands, and what goes wrong on the way."""

import os
import signal
import socket
import threading
import unittest
from concurrent import futures
from pathlib import Path
from unittest import mock

import grpc
from device import PATIENCE, WithDevices

import kinfolk
from kinfolk.v1 import info_pb2, info_pb2_grpc


class Connecting(WithDevices):
    def test_the_daemon_of_a_home_is_found_and_says_who_it_is(self) -> None:
        device = self.first("desk")
        client = self.client(device)
        self.assertEqual(client.info.device_name, "desk")
        self.assertEqual(client.info.setup, info_pb2.SETUP_STATE_READY)
        self.assertEqual(client.address, device.paths.socket)
        self.assertEqual(client.get_info().instance_id, client.info.instance_id)

    def test_endpoint_json_leads_to_a_socket_elsewhere(self) -> None:
        device, elsewhere = self.away(), self.directory / "elsewhere.sock"
        device.start(KINFOLK_SOCKET=str(elsewhere))
        self.assertEqual(self.client(device).address, elsewhere)

    def test_a_socket_that_is_named_is_the_only_place_asked(self) -> None:
        device = self.blank()
        environ = {"KINFOLK_HOME": str(device.home), "KINFOLK_SOCKET": str(self.directory / "nobody.sock")}
        with self.assertRaises(kinfolk.Unreachable):
            kinfolk.connect(paths=kinfolk.Paths.discover(environ=environ))

    def test_without_a_daemon_it_is_unreachable_and_says_how_to_start_one(self) -> None:
        with self.assertRaises(kinfolk.Unreachable) as caught:
            self.away().connect()
        self.assertEqual((caught.exception.code, caught.exception.retryable), ("daemon_unreachable", True))
        self.assertIn("kin up", caught.exception.hint)

    def test_a_socket_that_nobody_serves_any_more_is_unreachable(self) -> None:
        device = self.blank()
        device.end()
        self.assertTrue(device.paths.socket.exists())
        with self.assertRaises(kinfolk.Unreachable):
            device.connect()

    def test_a_daemon_that_comes_up_is_waited_for(self) -> None:
        device = self.away()
        device.spawn()
        self.assertEqual(self.client(device, wait=PATIENCE).info.setup, info_pb2.SETUP_STATE_NOT_SET_UP)

    def test_the_same_client_reaches_a_restarted_daemon(self) -> None:
        device = self.blank()
        client = self.client(device)
        device.end(signal.SIGTERM)
        device.start()
        self.assertNotEqual(client.get_info().instance_id, client.info.instance_id)

    def test_a_socket_of_somebody_else_is_not_spoken_to(self) -> None:
        device = self.blank()
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1), self.assertRaises(kinfolk.ForeignSocket):
            device.connect()

    def test_a_daemon_that_closes_the_connection_is_called_busy(self) -> None:
        path = self.directory / "closes.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()

            def close_each() -> None:
                try:
                    while True:
                        listener.accept()[0].close()
                except OSError:
                    pass

            thread = threading.Thread(target=close_each)
            thread.start()
            try:
                with self.assertRaises(kinfolk.TurnedAway) as caught:
                    kinfolk.connect(paths=kinfolk.Paths.discover(path))
                self.assertEqual(caught.exception.code, "busy")
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()


class Handshake(WithDevices):
    """Against small servers that answer `Info` as other daemons would."""

    def serve(self, low: int, high: int) -> "Info":
        info = Info(low, high)
        server = grpc.server(futures.ThreadPoolExecutor(1))
        info_pb2_grpc.add_InfoServicer_to_server(info, server)
        self.path = self.directory / "info.sock"
        server.add_insecure_port(f"unix:{self.path}")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        return info

    def paths(self) -> kinfolk.Paths:
        return kinfolk.Paths.discover(self.path)

    def test_a_daemon_from_the_future_is_a_version_mismatch_with_both_ranges(self) -> None:
        self.serve(7, 9)
        with self.assertRaises(kinfolk.VersionMismatch) as caught:
            kinfolk.connect(paths=self.paths(), wait=PATIENCE)
        expected = "the daemon 9.9.9 speaks versions 7 to 9 of the local API, this client 1 to 1"
        self.assertEqual(str(caught.exception), expected)

    def test_calls_show_the_token_that_is_given_or_named_or_else_that_of_the_owner(self) -> None:
        info = self.serve(1, 1)
        named = self.directory / "token"
        named.write_text("kin_app_named\n")
        environ = {"KINFOLK_HOME": str(self.directory), "KINFOLK_SOCKET": str(self.path)}
        (self.directory / "state").mkdir()
        (self.directory / "state/admin.token").write_text("kin_admin_x\n")
        with mock.patch.dict(os.environ, environ):
            for token in (None, ""):
                with kinfolk.connect(token=token) as client:
                    client.get_info()
            with mock.patch.dict(os.environ, {"KINFOLK_TOKEN_FILE": str(named)}):
                for token in (None, "kin_app_given"):
                    with kinfolk.connect(token=token) as client:
                        client.get_info()
        # The first call of each client asks who is there: that is answered to anybody.
        shown = ["Bearer kin_admin_x", None, "Bearer kin_app_named", "Bearer kin_app_given"]
        expected = [authorization for second in shown for authorization in (None, second)]
        self.assertEqual(info.authorizations, expected)

    def test_a_token_file_that_is_named_must_hold_a_token(self) -> None:
        self.serve(1, 1)
        for text in ("", "two words", "\xfc", "x" * 257):
            named = self.directory / "token"
            named.write_text(text)
            with mock.patch.dict(os.environ, {"KINFOLK_TOKEN_FILE": str(named)}):
                with self.assertRaises(kinfolk.ConfigurationError) as caught:
                    kinfolk.connect(paths=self.paths())
                self.assertNotIn("two words", str(caught.exception))
        with self.assertRaises(kinfolk.ConfigurationError):
            kinfolk.connect(paths=self.paths(), token="a\nb")


class Info(info_pb2_grpc.InfoServicer):
    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.authorizations: list[object] = []

    def GetInfo(
        self, request: info_pb2.GetInfoRequest, context: grpc.ServicerContext
    ) -> info_pb2.GetInfoResponse:
        self.authorizations.append(dict(context.invocation_metadata()).get("authorization"))
        return info_pb2.GetInfoResponse(version="9.9.9", protocol_min=self.low, protocol_max=self.high)


class Places(unittest.TestCase):
    def test_kinfolk_home_holds_everything(self) -> None:
        paths = kinfolk.Paths.discover(environ={"KINFOLK_HOME": "/k", "XDG_STATE_HOME": "/s", "HOME": "/h"})
        self.assertEqual((paths.config, paths.state), (Path("/k/config"), Path("/k/state")))
        self.assertEqual((paths.log, paths.socket), (Path("/k/state/log"), Path("/k/run/kinfolk.sock")))
        self.assertEqual(paths.endpoint_file, Path("/k/state/endpoint.json"))
        self.assertFalse(paths.socket_is_explicit)

    @unittest.skipIf(os.uname().sysname == "Darwin", "macOS has its own places")
    def test_empty_or_relative_xdg_directories_count_as_unset(self) -> None:
        for useless in ("", "relative/dir"):
            environ = {"HOME": "/h", "XDG_CONFIG_HOME": useless, "XDG_STATE_HOME": useless}
            paths = kinfolk.Paths.discover(environ=environ)
            self.assertEqual(paths.config, Path("/h/.config/kinfolk"))
            self.assertEqual(paths.state, Path("/h/.local/state/kinfolk"))

    def test_the_socket_that_is_asked_for_comes_before_that_of_the_environment(self) -> None:
        environ = {"HOME": "/h", "KINFOLK_SOCKET": "/e.sock"}
        self.assertEqual(kinfolk.Paths.discover(environ=environ).socket, Path("/e.sock"))
        paths = kinfolk.Paths.discover("/asked.sock", environ)
        self.assertEqual((paths.socket, paths.socket_is_explicit), (Path("/asked.sock"), True))

    def test_a_socket_path_beyond_the_limit_of_the_system_is_refused(self) -> None:
        with self.assertRaises(kinfolk.ConfigurationError) as caught:
            kinfolk.Paths.discover("/" + "x" * 120, {"HOME": "/h"})
        self.assertIn("121 bytes", str(caught.exception))

    def test_without_any_home_there_is_an_error_and_no_guess(self) -> None:
        with self.assertRaises(kinfolk.ConfigurationError):
            kinfolk.Paths.discover(environ={})
