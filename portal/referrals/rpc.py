"""All methods of `POST /rpc`.

To add methods, write a module `rpc_NAME.py` with a function `methods()` that gives `portal.jsonrpc.Method`s,
and list it below: with that they can be called, and are on the page of methods with their examples. A handler
gets a `Caller` (whose runtime has clock, cipher, `reader()` and `transact`) and its parameters, a `Params`
model, and returns a `Result` model; what it raises of portal/errors.py becomes an error of JSON-RPC.
"""

from portal.jsonrpc import Methods
from portal.referrals import rpc_reads
from portal.referrals.experiments import rpc as rpc_experiments
from portal.referrals.invitations import rpc as rpc_invitations
from portal.referrals.schemes import rpc as rpc_schemes
from portal.referrals.schemes import rpc_catalogue
from portal.referrals.schemes.cache import SchemeCache
from portal.runtime import Runtime


def build_methods(runtime: Runtime) -> Methods:
    """Give the methods, with what they keep in the memory of this process."""
    cache = SchemeCache(runtime.reader, runtime.monotonic)
    return Methods(
        [
            *rpc_reads.methods(cache),
            *rpc_invitations.methods(),
            *rpc_experiments.methods(),
            *rpc_schemes.methods(),
            *rpc_catalogue.methods(),
        ]
    )
