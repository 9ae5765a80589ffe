# Finds Halide as the Python wheel `halide` installs it, for CMake versions that its own package does not support.
#   HALIDE_ROOT       a virtual environment, or the wheel's folder; default: the build folder's environment `halide`
#   Halide::Halide    the compiler, libHalide.so
#   Halide::Runtime   the headers that compiled kernels need
set(HALIDE_ROOT ${PROJECT_BINARY_DIR}/halide CACHE PATH "A virtual environment with the wheel `halide`, or its folder")

# Not in the cache, so that another HALIDE_ROOT counts at once.
file(GLOB Halide_candidates ${HALIDE_ROOT}/lib/python3*/site-packages/halide)
list(APPEND Halide_candidates ${HALIDE_ROOT})
find_path(Halide_INCLUDE_DIR Halide.h PATHS ${Halide_candidates} PATH_SUFFIXES include NO_DEFAULT_PATH NO_CACHE)
find_library(Halide_LIBRARY Halide PATHS ${Halide_candidates} PATH_SUFFIXES lib64 lib NO_DEFAULT_PATH NO_CACHE)

if(Halide_INCLUDE_DIR)
  file(STRINGS ${Halide_INCLUDE_DIR}/HalideRuntime.h Halide_defines
       REGEX "^#define HALIDE_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^;]* ([0-9]+)" "\\1" Halide_numbers "${Halide_defines}")
  list(JOIN Halide_numbers "." Halide_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  Halide
  REQUIRED_VARS Halide_LIBRARY Halide_INCLUDE_DIR
  VERSION_VAR Halide_VERSION
  REASON_FAILURE_MESSAGE "Run scripts/build, which installs it, or name its virtual environment with -DHALIDE_ROOT")

if(Halide_FOUND AND NOT TARGET Halide::Halide)
  find_package(Threads REQUIRED)
  add_library(Halide::Runtime INTERFACE IMPORTED)
  set_target_properties(
    Halide::Runtime PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${Halide_INCLUDE_DIR}
                               INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS}")
  add_library(Halide::Halide SHARED IMPORTED)
  set_target_properties(
    Halide::Halide PROPERTIES IMPORTED_LOCATION ${Halide_LIBRARY} IMPORTED_SONAME libHalide.so
                              INTERFACE_LINK_LIBRARIES Halide::Runtime)
endif()
