"""A kernel that another one calls is a part of it, and not compiled by itself.

numba compiles every function whole: it is optimised and made machine code, and once
more inside each function that calls it, so the body of an inner loop was made five
times over. Here what another kernel calls stays code of the compiler (LLVM's), which is
linked into the caller, optimised with it, and made machine code there, once. It took
half the time of compiling away and changed nothing in the speed of what came out.
Nothing is hooked into numba: these are subclasses of its own.
"""

from typing import Any

from numba.core import sigutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import (
    _FunctionCompiler,  # pyright: ignore[reportAttributeAccessIssue]
)
from numba.core.registry import CPUDispatcher
from numba.core.typing import make_concrete_template


class PartLibrary(JITCodeLibrary):
    """Code that is linked into that of its callers."""

    def _optimize_final_module(self) -> None:
        """Left to the caller."""

    def _finalize_final_module(self) -> None:
        """No machine code."""
        self._finalize_dynamic_globals()
        self._finalized = True


class PartPipeline(Compiler):
    """Compiles into a `PartLibrary`."""

    def __init__(
        self, typing: Any, target: Any, library: Any, args: Any, *rest: Any
    ) -> None:
        library = PartLibrary(target.codegen(), "part")
        super().__init__(typing, target, library, args, *rest)


class PartCompiler(_FunctionCompiler):
    """Compiles without an entry from Python."""

    def _customize_flags(self, flags: Any) -> Any:
        flags.no_cpython_wrapper = flags.no_compile = True
        return flags


class Caller(CPUDispatcher):
    """A compiled function that is part of those that call it.

    Called from Python it is compiled as by numba, with an entry from there.
    """

    _compiler: Any

    def __init__(self, function: Any, *args: Any, **options: Any) -> None:
        super().__init__(function, *args, **options)
        own = self._compiler
        self._parts: dict[tuple, Any] = {}
        self._part_compiler = PartCompiler(
            own.py_func, own.targetdescr, own.targetoptions, own.locals, PartPipeline
        )

    def add_overload(self, cres: Any) -> None:
        """A compiled signature; its parts find the objects that they raise."""
        super().add_overload(cres)
        for own in cres._find_referenced_environments():
            cres.codegen.set_env(own.env_name, own)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """The signature with which another kernel calls; makes the part if need be."""
        signature, args = self._compiler.fold_argument_types(args, kws)
        if tuple(args) not in self._parts:
            self._add_part(tuple(args))
        signatures = [part.signature for part in self._parts.values()]
        name = self.py_func.__name__
        template = make_concrete_template(name, key=name, signatures=signatures)
        return template, signature, args, {}

    def get_overload(self, sig: Any) -> Any:
        """What stands for the part of a signature."""
        args, _ = sigutils.normalize_signature(sig)
        return self._parts[tuple(args)].fndesc

    def _add_part(self, args: tuple) -> None:
        """Compile for other kernels."""
        with global_compiler_lock:
            part = self._part_compiler.compile(args, None)
            self._parts[args] = part
            own = part.fndesc
            self.targetctx.insert_user_function(own, own, [part.library])
