# prepare_python_environment(SOURCE VENV RESULT): a virtual environment with this project and all
# that its tests need; RESULT names the variable that receives the path of its interpreter.

set(_supported "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))")

function(find_supported_python result)
  foreach(candidate IN ITEMS "$ENV{PYTHON}" python3.13 python3.12 python3.11 python3 python)
    if(candidate STREQUAL "")
      continue()
    endif()
    execute_process(COMMAND "${candidate}" -c "${_supported}" RESULT_VARIABLE unfit OUTPUT_QUIET ERROR_QUIET)
    if(unfit EQUAL 0)
      set(${result} "${candidate}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR
    "No Python 3.11, 3.12 or 3.13 that can make virtual environments was found. "
    "On Debian or Ubuntu: apt install python3 python3-venv. Another interpreter is named with PYTHON=/path/to/python.")
endfunction()

function(prepare_python_environment source venv result)
  set(python "${venv}/bin/python")
  if(WIN32)
    set(python "${venv}/Scripts/python.exe")
  endif()
  set(${result} "${python}" PARENT_SCOPE)

  set(stamp "${venv}/installed-for")
  set(constraints "${source}/Testing/constraints.txt")
  file(SHA256 "${source}/pyproject.toml" wanted)
  file(SHA256 "${constraints}" held)
  string(APPEND wanted " ${held}")
  if(EXISTS "${stamp}" AND EXISTS "${python}")
    file(READ "${stamp}" installed)
    if(installed STREQUAL "${source} ${wanted}")
      message(STATUS "Using the environment in ${venv}")
      return()
    endif()
  endif()

  find_supported_python(base)
  message(STATUS "Making an environment in ${venv} with ${base}; this takes a minute or two")
  execute_process(COMMAND "${base}" -m venv --clear "${venv}" COMMAND_ERROR_IS_FATAL ANY)
  execute_process(
    COMMAND "${python}" -m pip install --quiet --disable-pip-version-check
      --constraint "${constraints}" --editable "${source}[network,cohort,dask,test]"
    COMMAND_ERROR_IS_FATAL ANY)
  file(WRITE "${stamp}" "${source} ${wanted}")
endfunction()
