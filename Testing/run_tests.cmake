# All tests in one command:
#
#   ctest -S Testing/run_tests.cmake -V
#
# Makes a Python environment of its own in build/test-environment (kept while neither pyproject.toml
# nor constraints.txt changes), configures this project without Slicer and runs every Python test file as one
# CTest test. Ends with 0 only when all passed. Nothing is written outside build/.
#
# Environment: PYTHON names the interpreter to use; without it the newest of 3.11 to 3.13 is taken.

cmake_minimum_required(VERSION 3.25)

set(CTEST_RUN_CURRENT_SCRIPT OFF)
get_filename_component(source "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
set(binary "${source}/build/tests")

include("${CMAKE_CURRENT_LIST_DIR}/python_environment.cmake")
prepare_python_environment("${source}" "${source}/build/test-environment" python)

# Nothing is built, so that any program will do where there is no make.
find_program(make_program NAMES make gmake)
if(NOT make_program)
  set(make_program "${CMAKE_COMMAND}")
endif()
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${binary}" -G "Unix Makefiles"
    "-DPython3_EXECUTABLE=${python}" "-DCMAKE_MAKE_PROGRAM=${make_program}"
  COMMAND_ERROR_IS_FATAL ANY)

# Run by ctest itself rather than by ctest_test(), which keeps the output of failed tests to a log.
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
execute_process(
  COMMAND "${CMAKE_CTEST_COMMAND}" --test-dir "${binary}" --output-on-failure --parallel ${cores}
  RESULT_VARIABLE failed)
if(NOT failed EQUAL 0)
  message(FATAL_ERROR "Some tests failed; their output is above and in ${binary}/Testing/Temporary/LastTest.log")
endif()
