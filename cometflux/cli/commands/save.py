"""Save the images of a prediction."""

from pathlib import Path

from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options.arguments import BaseUrl, PredictionId, Proxy
from cometflux.cli.options.shared import Out, RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import CometfluxError, ConfigError, InputError, JournalError


def save(
    prediction_id: PredictionId,
    /,
    *,
    out: Out = Path("images"),
    base_url: BaseUrl = None,
    proxy: Proxy = None,
) -> int:
    """Save the pictures of a prediction, by its id.

    Waits until the prediction is over, and prints the paths. Works for every
    prediction of the account, as long as the service keeps the pictures: about an
    hour. In the folder of their own batch, the pictures get the batch's names.
    """
    from cometflux.cli.batch.known_prediction import report, save_prediction

    screen = Screen()
    try:
        files = save_prediction(prediction_id, RunOptions(base_url=base_url, proxy=proxy), screen, out)
    except (ConfigError, InputError, JournalError):
        raise
    except CometfluxError as error:
        return report(screen, prediction_id, error)
    for file in files:
        screen.data(str(file))
    return ExitCode.OK
