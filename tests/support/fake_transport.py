"""The service without a socket: a `Transport` with chosen responses, which keeps the bills. See test_machine."""

import asyncio
import json
from collections import Counter

import attrs
from one_pixel import PNG

from cometflux.errors import AnswerError, ConnectError, OutputError, UnknownSubmissionError
from cometflux.protocol.requests import Response

RETRY_AFTER = 7.0
ANSWER, POLL, DOWNLOAD = 120.0, 20.0, 60.0
"""The time limit of each kind of exchange, in seconds."""

SUBMISSIONS = (
    *("accept", "accept processing", "accept succeeded", "accept failed", "accept aborted"),
    *("429", "429 silent", "422", "not connected", "401", "402"),
    # The result of these is not known to the sender.
    *("drop", "drop billed", "torn billed", "torn early billed", "500", "500 billed"),
    *("break billed", "give up billed"),
)
"""The possible responses to a submission."""
POLLS = ("found", "404", "429", "429 silent", "500", "torn", "garbage", "not connected", "drop", "hang")
DOWNLOADS = ("whole", "gone", "passing", "cut", "hang")
ENDS = ("succeeded", "failed", "canceled", "aborted")


@attrs.define(eq=False)
class Bill:
    """An accepted submission with the state of its prediction."""

    id: str
    prompt: str
    status: str = "starting"
    is_expired: bool = False

    def body(self):
        output = "https://replicate.delivery/x.png" if self.status == "succeeded" and not self.is_expired else None
        error = "Prediction interrupted; please retry" if self.status == "failed" else None
        body = {"id": self.id, "status": self.status, "output": output, "error": error}
        return json.dumps(body | ({"data_removed": True} if self.is_expired else {})).encode()


class FakeService:
    """The state of the service. It survives its clients."""

    def __init__(self):
        self.bills = []
        self.unanswered = set()
        """The prompts of submissions whose responses were not received whole."""
        self.spent = Counter()
        """The number of submissions per prompt that were accepted, or may have been as far as the sender knows."""
        self.heal()

    def heal(self):
        """Respond without faults from now on."""
        self.submission = "accept"
        """The response to each submission; None to hold submissions until `FakeTransport.answer`."""
        self.poll, self.download = "found", "whole"
        self.takes_what_breaks_off = False
        """Whether a submission is accepted and billed even if its sender stopped waiting."""

    def bill(self, prompt, status="starting"):
        self.bills.append(Bill(f"p{len(self.bills):05d}", prompt, status))
        return self.bills[-1]

    def break_off(self, prompt):
        """Note that the sender of a submission stopped waiting for its response."""
        self.unanswered.add(prompt)
        self.spent[prompt] += 1
        if self.takes_what_breaks_off:
            self.bill(prompt)

    def take(self, prompt, how):
        """Respond to a submission."""
        word, _, status = how.partition(" ")
        if word == "accept":
            self.spent[prompt] += 1
            return Response(status=201, body=self.bill(prompt, status or "starting").body())
        if how in ("429", "429 silent", "422", "401", "402"):
            return refuse(how)
        if how == "not connected":
            raise ConnectError("nothing could be sent")
        self.unanswered.add(prompt)
        self.spent[prompt] += 1
        body = self.bill(prompt).body() if status.endswith("billed") else b""
        match word:
            case "torn":
                end = 8 if status.startswith("early") else 20
                return Response(status=201, body=body[:end], cut="the connection was closed")
            case "500":
                return Response(status=500, body=b"{}")
            case "break":
                raise RuntimeError("the transport broke")
            case "give":
                raise asyncio.CancelledError
        raise UnknownSubmissionError("the submission was sent, and no response came", "no response")

    async def get(self, name):
        """Respond to a poll."""
        match self.poll:
            case "found":
                found = [bill for bill in self.bills if bill.id == name]
                return Response(status=200, body=found[0].body()) if found else refuse("404")
            case "torn":
                return Response(status=200, body=b'{"id": "', cut="the connection was closed")
            case "garbage":
                return Response(status=200, body=b"<pre>oops")
            case "not connected":
                raise ConnectError("the poll could not be sent")
            case "drop":
                raise AnswerError("no response came")
            case "hang":
                await asyncio.sleep(POLL)
                raise AnswerError("no response came in time")
        return refuse(self.poll)

    async def fetch(self):
        """Respond to a download."""
        match self.download:
            case "whole":
                return PNG
            case "cut":
                return PNG[:-1]
            case "gone":
                raise OutputError("the output is not found")
            case "hang":
                await asyncio.sleep(DOWNLOAD)
        raise OutputError("the output could not be fetched", is_transient=True)


def refuse(how):
    status, _, is_silent = how.partition(" ")
    headers = {"retry-after": f"{RETRY_AFTER:g}"} if status == "429" and not is_silent else {}
    return Response(status=int(status), headers=headers, body=b'{"detail": "no"}')


@attrs.define(eq=False)
class Call:
    """A submission in flight."""

    prompt: str
    how: asyncio.Future


class FakeTransport:
    """The transport of one process to the service_state. It calls *watch* for each request before the response."""

    def __init__(self, service_state, watch):
        self.service_state = service_state
        self.calls = []
        self._watch = watch
        self._is_cut = False

    async def submit(self, request):
        await self._stay()
        prompt = json.loads(request.body)["input"]["prompt"]
        call = Call(prompt, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        self._watch.submission(prompt)
        if self.service_state.submission is not None:
            call.how.set_result(self.service_state.submission)
        try:
            async with asyncio.timeout(ANSWER):
                how = await call.how
        except TimeoutError as error:
            self.service_state.break_off(prompt)
            raise UnknownSubmissionError(
                "the submission was sent, and no response came in time", "no response"
            ) from error
        except asyncio.CancelledError:
            if not self._is_cut:
                self.service_state.break_off(prompt)
                self._watch.give_up(prompt)
            raise
        finally:
            self.calls.remove(call)
        self._watch.answer(how)
        return self.service_state.take(prompt, how)

    async def send(self, request):
        await self._stay()
        name = request.path.rpartition("/")[2]
        self._watch.poll(name)
        self._watch.answer(self.service_state.poll)
        return await self.service_state.get(name)

    async def download(self, url):
        await self._stay()
        return await self.service_state.fetch()

    async def aclose(self):
        pass

    def cut(self):
        """End all exchanges, as if the process had died. It sends nothing more."""
        self._is_cut = True
        for call in self.calls:
            self.service_state.break_off(call.prompt)

    async def _stay(self):
        # One step of the loop, because every exchange takes some.
        await asyncio.sleep(0)
        if self._is_cut:
            await asyncio.Event().wait()
