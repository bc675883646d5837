from . import report as report
from .analysis.change_points import ChangePoints as ChangePoints
from .analysis.change_points import change_points as change_points
from .analysis.explain import column_descriptions as column_descriptions
from .analysis.explain import explain as explain
from .analysis.models.fit_processes import fit_processes as fit_processes
from .analysis.models.simulate import counting_processes as counting_processes
from .analysis.models.simulate import simulate as simulate
from .analysis.networks.compare import compare as compare
from .analysis.networks.network_test import network_test as network_test
from .analysis.networks.summarize import summarize as summarize
from .analysis.patterns.compare_patterns import PatternFlips as PatternFlips
from .analysis.patterns.compare_patterns import compare_patterns as compare_patterns
from .analysis.patterns.dead_units import dead_units as dead_units
from .analysis.patterns.nearest_patterns import NearestPatterns as NearestPatterns
from .analysis.patterns.nearest_patterns import nearest_patterns as nearest_patterns
from .analysis.patterns.out_of_distribution import (
    out_of_distribution_auroc as out_of_distribution_auroc,
)
from .analysis.patterns.out_of_distribution import (
    out_of_distribution_scores as out_of_distribution_scores,
)
from .analysis.patterns.patterns import patterns as patterns
from .analysis.patterns.units_to_keep import units_to_keep as units_to_keep
from .analysis.populations.correlations import Correlations as Correlations
from .analysis.populations.correlations import complexity as complexity
from .analysis.populations.correlations import correlation_matrix as correlation_matrix
from .analysis.populations.correlations import correlations as correlations
from .analysis.populations.decode_labels import decode_labels as decode_labels
from .analysis.populations.dissimilarities import Dissimilarities as Dissimilarities
from .analysis.populations.dissimilarities import dissimilarities as dissimilarities
from .analysis.populations.selectivity import selectivity as selectivity
from .analysis.populations.selectivity import (
    single_stimulus_overlap as single_stimulus_overlap,
)
from .analysis.populations.similarity import similarity as similarity
from .analysis.populations.summarize_populations import (
    summarize_populations as summarize_populations,
)
from .analysis.surrogates.surrogate_test import SurrogateWarning as SurrogateWarning
from .analysis.surrogates.surrogate_test import surrogate_test as surrogate_test
from .analysis.surrogates.surrogates import surrogates as surrogates
from .analysis.trials.analyze_trials import analyze_trials as analyze_trials
from .analysis.trials.psth import psth as psth
from .analysis.trials.spike_counts import spike_counts as spike_counts
from .analysis.trials.variability_over_repeats import (
    variability_over_repeats as variability_over_repeats,
)
from .analysis.units.analyze import analyze as analyze
from .datasets import DataSet as DataSet
from .datasets import load_dataset as load_dataset
from .datasets import register_dataset as register_dataset
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
from .io.lfads import read_lfads as read_lfads
from .io.lfads import write_lfads as write_lfads
from .io.neo.reader import from_neo as from_neo
from .io.neo.writer import to_neo as to_neo
from .io.nwb.analysis_tables import append_analysis as append_analysis
from .io.nwb.info import nwb_info as nwb_info
from .io.nwb.reader import read_nwb as read_nwb
from .io.nwb.sharing import share as share
from .io.nwb.validation import validate_nwb as validate_nwb
from .io.nwb.writer import write_nwb as write_nwb
from .io.pynapple import to_pynapple as to_pynapple
from .io.rsatoolbox import to_rsatoolbox as to_rsatoolbox
from .io.xarray import from_xarray as from_xarray
from .io.xarray import to_xarray as to_xarray
from .monitor import SpikeMonitor as SpikeMonitor
from .probe.activity import ActivityWarning as ActivityWarning
from .probe.activity import StepsWarning as StepsWarning
from .probe.record import Probe as Probe
from .probe.record import record as record
from .raster import SpikeRaster as SpikeRaster
from .recording import Recording as Recording
from .recording.from_spike_times import from_spike_times as from_spike_times
