"""How numba compiles functions that call one another: each once, and machine code only of those that Python calls.

Numba 0.68 optimises every function with all that it calls and makes machine code of it, then does so again in each
function that calls it. Here a function that another one calls stays in LLVM's form until one that Python calls has
taken it in, and is optimised there.
"""

from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, Flags
from numba.core.environment import lookup_environment

__all__ = ["LinkedCompiler", "LinkingCompiler"]


class _Flags(Flags):
    """Options of a compilation, which numba compares at each call that it types: value by value, defaults included."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Say so at once where the same values were set."""
        if isinstance(other, Flags) and self._values == other._values:
            return True
        return bool(super().__eq__(other))

    def __hash__(self) -> int:
        """Equal options have one hash."""
        return int(super().__hash__())


class _LinkedLibrary(JITCodeLibrary):
    """Code that others take in."""

    @property
    def codegen(self) -> "_LinkedLibrary":
        """Itself, as environments have no address yet."""
        return self

    def set_env(self, env_name: str, env: object) -> None:
        """Leave that to ``LinkingCompiler``."""

    def get_pointer_to_function(self, name: str) -> int:
        """None: there is no machine code."""
        self._ensure_finalized()
        return 0

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


class _LinkingLibrary(JITCodeLibrary):
    """Code of a function and of all that it calls, optimised in one go."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class LinkedCompiler(Compiler):
    """Leaves a function in LLVM's form."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile into a library that is only linked."""
        self.state.flags = _Flags(copy_from=self.state.flags)
        self.state.library = _LinkedLibrary(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


class LinkingCompiler(Compiler):
    """Makes machine code of a function and of all that is linked into it."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile, then give linked functions their environments, which now have an address."""
        codegen = self.state.targetctx.codegen()
        self.state.flags = _Flags(copy_from=self.state.flags)
        self.state.library = _LinkingLibrary(codegen, func.__qualname__)
        self.state.library.enable_object_caching()
        result = super().compile_extra(func)
        for variable in result.library._final_module.global_variables:
            environment = lookup_environment(variable.name)
            if environment is not None:
                codegen.set_env(variable.name, environment)
        return result
