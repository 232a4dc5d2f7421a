"""The service without a socket: a `Transport` that answers as it is told, and keeps the bills. See test_machine."""

import asyncio
import json
from collections import Counter

import attrs

from cometflux.errors import AnswerError, ConnectError, OutputError, UnknownSubmissionError
from cometflux.protocol.requests import Response

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
RETRY_AFTER = 7.0
ANSWER, QUESTION, DOWNLOAD = 120.0, 20.0, 60.0
"""How long each kind of exchange may take, in seconds."""

SUBMISSIONS = (
    *("accept", "accept processing", "accept succeeded", "accept failed", "accept aborted"),
    *("429", "429 silent", "422", "not connected", "401", "402"),
    # Nothing proves what became of these.
    *("drop", "drop billed", "torn billed", "torn early billed", "500", "500 billed"),
    *("break billed", "give up billed"),
)
"""What an answer to a submission can be."""
QUESTIONS = ("tell", "404", "429", "429 silent", "500", "torn", "garbage", "not connected", "drop", "hang")
DOWNLOADS = ("whole", "gone", "passing", "cut", "hang")
ENDS = ("succeeded", "failed", "canceled", "aborted")


@attrs.define(eq=False)
class Bill:
    """An accepted submission, and where its prediction stands."""

    id: str
    prompt: str
    status: str = "starting"
    is_expired: bool = False

    def told(self):
        output = "https://replicate.delivery/x.png" if self.status == "succeeded" and not self.is_expired else None
        error = "Prediction interrupted; please retry" if self.status == "failed" else None
        body = {"id": self.id, "status": self.status, "output": output, "error": error}
        return json.dumps(body | ({"data_removed": True} if self.is_expired else {})).encode()


class Desk:
    """What the service knows; it outlives those who come to it."""

    def __init__(self):
        self.bills = []
        self.unanswered = set()
        """The prompts of submissions whose answers did not come back whole."""
        self.spent = Counter()
        """How many submissions of each prompt were taken, or may have been for all that the sender can know."""
        self.heal()

    def heal(self):
        """Do from now on what is hoped for."""
        self.submission = "accept"
        """How each submission is answered; None to keep them until `Line.answer`."""
        self.question, self.download = "tell", "whole"
        self.takes_what_breaks_off = False
        """Whether a submission whose sender gave up waiting is taken and billed all the same."""

    def bill(self, prompt, status="starting"):
        self.bills.append(Bill(f"p{len(self.bills):05d}", prompt, status))
        return self.bills[-1]

    def break_off(self, prompt):
        """The sender of a submission does not wait for its answer any more."""
        self.unanswered.add(prompt)
        self.spent[prompt] += 1
        if self.takes_what_breaks_off:
            self.bill(prompt)

    def take(self, prompt, how):
        """Answer a submission."""
        word, _, status = how.partition(" ")
        if word == "accept":
            self.spent[prompt] += 1
            return Response(status=201, body=self.bill(prompt, status or "starting").told())
        if how in ("429", "429 silent", "422", "401", "402"):
            return refuse(how)
        if how == "not connected":
            raise ConnectError("nothing could be sent")
        self.unanswered.add(prompt)
        self.spent[prompt] += 1
        body = self.bill(prompt).told() if status.endswith("billed") else b""
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

    async def tell(self, name):
        """Answer a question."""
        match self.question:
            case "tell":
                found = [bill for bill in self.bills if bill.id == name]
                return Response(status=200, body=found[0].told()) if found else refuse("404")
            case "torn":
                return Response(status=200, body=b'{"id": "', cut="the connection was closed")
            case "garbage":
                return Response(status=200, body=b"<pre>oops")
            case "not connected":
                raise ConnectError("nothing could be sent")
            case "drop":
                raise AnswerError("no response came")
            case "hang":
                await asyncio.sleep(QUESTION)
                raise AnswerError("no response came in time")
        return refuse(self.question)

    async def fetch(self):
        """Answer a download."""
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
    """A submission under way."""

    prompt: str
    how: asyncio.Future


class Line:
    """The transport of one process to the desk; *watch* is told of what comes, before it is answered."""

    def __init__(self, desk, watch):
        self.desk = desk
        self.calls = []
        self._watch = watch
        self._is_cut = False

    async def submit(self, request):
        await self._stay()
        prompt = json.loads(request.body)["input"]["prompt"]
        call = Call(prompt, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        self._watch.submission(prompt)
        if self.desk.submission is not None:
            call.how.set_result(self.desk.submission)
        try:
            async with asyncio.timeout(ANSWER):
                how = await call.how
        except TimeoutError as error:
            self.desk.break_off(prompt)
            raise UnknownSubmissionError(
                "the submission was sent, and no response came in time", "no response"
            ) from error
        except asyncio.CancelledError:
            if not self._is_cut:
                self.desk.break_off(prompt)
                self._watch.give_up(prompt)
            raise
        finally:
            self.calls.remove(call)
        self._watch.answer(how)
        return self.desk.take(prompt, how)

    async def send(self, request):
        await self._stay()
        name = request.path.rpartition("/")[2]
        self._watch.question(name)
        self._watch.answer(self.desk.question)
        return await self.desk.tell(name)

    async def download(self, url):
        await self._stay()
        return await self.desk.fetch()

    async def aclose(self):
        pass

    def cut(self):
        """The process is dead: what was under way breaks off, and nothing more comes from it."""
        self._is_cut = True
        for call in self.calls:
            self.desk.break_off(call.prompt)

    async def _stay(self):
        # A step of the loop, as every exchange takes some.
        await asyncio.sleep(0)
        if self._is_cut:
            await asyncio.Event().wait()
