"""From a suite to cells on disk: plan, jobs, store, manifest, executors.

The package is not named ``run``, because :func:`benchsep.run` is the public function: the import of
a submodule of a package ``benchsep.run`` would replace the function by the package.
"""
