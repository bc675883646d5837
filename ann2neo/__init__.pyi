from . import report as report
from .analysis.battery import analyze as analyze
from .analysis.comparisons import compare as compare
from .analysis.explanations import column_descriptions as column_descriptions
from .analysis.explanations import explain as explain
from .analysis.joint_permutation import network_test as network_test
from .analysis.multiple_filter import ChangePoints as ChangePoints
from .analysis.multiple_filter import change_points as change_points
from .analysis.networks import summarize as summarize
from .analysis.population_summary import summarize_populations as summarize_populations
from .analysis.populations import Correlations as Correlations
from .analysis.populations import complexity as complexity
from .analysis.populations import correlation_matrix as correlation_matrix
from .analysis.populations import correlations as correlations
from .analysis.processes import fit_processes as fit_processes
from .analysis.repeats import variability_over_repeats as variability_over_repeats
from .analysis.selectivity import selectivity as selectivity
from .analysis.selectivity import single_stimulus_overlap as single_stimulus_overlap
from .analysis.significance import SurrogateWarning as SurrogateWarning
from .analysis.significance import surrogate_test as surrogate_test
from .analysis.simulate import counting_processes as counting_processes
from .analysis.simulate import simulate as simulate
from .analysis.surrogates import surrogates as surrogates
from .errors import (
    ActivationError as ActivationError,
)
from .errors import (
    Ann2NeoError as Ann2NeoError,
)
from .errors import (
    DataSetUnavailableError as DataSetUnavailableError,
)
from .errors import (
    FileFormatError as FileFormatError,
)
from .errors import (
    InputTypeError as InputTypeError,
)
from .errors import (
    InputValueError as InputValueError,
)
from .errors import (
    IntegrityError as IntegrityError,
)
from .errors import (
    LayerError as LayerError,
)
from .errors import (
    MissingExtraError as MissingExtraError,
)
from .errors import (
    OutputError as OutputError,
)
from .errors import (
    OutputExistsError as OutputExistsError,
)
from .errors import (
    OutputLockedError as OutputLockedError,
)
from .io.neo_blocks import from_neo as from_neo
from .io.neo_blocks import to_neo as to_neo
from .io.nwb_analysis import append_analysis as append_analysis
from .io.nwb_info import nwb_info as nwb_info
from .io.nwb_reader import read_nwb as read_nwb
from .io.nwb_writer import write_nwb as write_nwb
from .io.sharing import share as share
from .io.validation import validate_nwb as validate_nwb
from .monitor import SpikeMonitor as SpikeMonitor
from .probe.activity import ActivityWarning as ActivityWarning
from .probe.recorder import Probe as Probe
from .probe.recorder import record as record
from .raster import SpikeRaster as SpikeRaster
from .recording import Recording as Recording
from .study.datasets import DataSet as DataSet
from .study.datasets import load_dataset as load_dataset
from .study.datasets import register_dataset as register_dataset
