# netc_add_model(TARGET lenet NET lenet.net [NAME lenet] [OUTPUT folder] [SET path=value ...] [MAX_MEMORY size]
#                [PRECISION f32|tf32|bf16] [TILES file] [NATIVE] [CUDA] [FUNCTIONS] [PROGRAM])
#
# Adds the static library TARGET with the code that netc generates from the model NET at build time, anew whenever NET
# or a file that it imports changes. `#include "lenet.hpp"` and link TARGET.
#   NAME     the model of NET that is meant; default: the one that is named as the file
#   OUTPUT   the folder of the generated files; default: generated/NAME in the current binary folder
#   SET      settings for `netc --set`
#   MAX_MEMORY  what a training step may take, such as 2GiB, as in `netc --max-memory`
#   PRECISION  what convolutions and linear layers multiply, as in `netc --precision`; default: f32
#   TILES    choices that `netc tune` wrote, as in `netc --tiles`
#   NATIVE   kernels for this machine's processor alone, which compile in two fifths to a half of the time
#   CUDA     kernels for NVIDIA's GPUs, too
#   FUNCTIONS  the file defines tensor functions too: NAME_functions.hpp
#   PROGRAM  adds the model's own program (train, eval, bench, profile, run) too, as the target
#            TARGET_main
function(netc_add_model)
  cmake_parse_arguments(PARSE_ARGV 0 arg "FUNCTIONS;ONLY_FUNCTIONS;NATIVE;CUDA;PROGRAM"
                        "TARGET;NET;NAME;OUTPUT;MAX_MEMORY;PRECISION;TILES" "SET")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "netc_add_model: unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_TARGET OR NOT arg_NET)
    message(FATAL_ERROR "netc_add_model: TARGET and NET are needed")
  endif()
  cmake_path(ABSOLUTE_PATH arg_NET BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  if(arg_NAME AND arg_ONLY_FUNCTIONS)
    message(FATAL_ERROR "netc_add_functions: functions have no NAME but that of their file")
  endif()
  if(NOT arg_NAME)
    cmake_path(GET arg_NET STEM LAST_ONLY arg_NAME)
  endif()
  if(arg_ONLY_FUNCTIONS)  # as netc calls it
    string(REGEX REPLACE "[^A-Za-z0-9_]" "_" arg_NAME ${arg_NAME})
    string(REGEX REPLACE "__+" "_" arg_NAME ${arg_NAME})  # C++ keeps these names to itself
    string(REGEX REPLACE "^([0-9])" "functions_\\1" arg_NAME ${arg_NAME})
  endif()
  if(NOT arg_OUTPUT)
    set(arg_OUTPUT generated/${arg_NAME})
  endif()
  cmake_path(ABSOLUTE_PATH arg_OUTPUT BASE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} NORMALIZE)
  list(TRANSFORM arg_SET PREPEND "--set=" OUTPUT_VARIABLE options)
  if(NOT arg_ONLY_FUNCTIONS)
    list(APPEND options --model=${arg_NAME})
  endif()
  if(arg_MAX_MEMORY)
    list(APPEND options --max-memory=${arg_MAX_MEMORY})
  endif()
  if(arg_PRECISION)
    list(APPEND options --precision=${arg_PRECISION})
  endif()
  if(arg_TILES)
    cmake_path(ABSOLUTE_PATH arg_TILES BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    list(APPEND options --tiles=${arg_TILES})
  endif()
  if(arg_NATIVE)
    list(APPEND options --native)
  endif()
  if(arg_CUDA)
    list(APPEND options --target cuda)
  endif()

  # What netc writes.
  set(prefix ${arg_OUTPUT}/${arg_NAME})
  set(headers ${prefix}.hpp ${prefix}.h ${prefix}_kernels.hpp)
  set(sources ${prefix}.cpp ${prefix}_c.cpp ${prefix}_kernels.cpp)
  set(kernels ${arg_OUTPUT}/lib${arg_NAME}_kernels.a)
  set(main ${arg_OUTPUT}/main.cpp)
  if(arg_ONLY_FUNCTIONS)
    set(headers)
    set(sources)
    set(main)
  endif()
  if(arg_FUNCTIONS OR arg_ONLY_FUNCTIONS)
    list(APPEND headers ${prefix}_functions.hpp)
    list(APPEND sources ${prefix}_functions.cpp)
  endif()

  add_custom_command(
    OUTPUT ${headers} ${sources} ${kernels} ${main}
    COMMAND netc::netc ${arg_NET} -o ${arg_OUTPUT} ${options} --depfile ${prefix}.d
    DEPENDS ${arg_NET} ${arg_TILES} netc::netc
    DEPFILE ${prefix}.d
    COMMENT "Compiling the model ${arg_NAME}"
    VERBATIM)

  add_library(${arg_TARGET}_kernels STATIC IMPORTED GLOBAL)
  set_target_properties(${arg_TARGET}_kernels PROPERTIES IMPORTED_LOCATION ${kernels}
                                                         INTERFACE_LINK_LIBRARIES netc::runtime)
  add_library(${arg_TARGET} STATIC ${headers} ${sources})
  target_include_directories(${arg_TARGET} PUBLIC ${arg_OUTPUT})
  target_link_libraries(${arg_TARGET} PUBLIC ${arg_TARGET}_kernels netc::runtime)
  if(arg_PROGRAM)
    add_executable(${arg_TARGET}_main ${main})
    set_target_properties(${arg_TARGET}_main PROPERTIES OUTPUT_NAME ${arg_NAME})
    target_link_libraries(${arg_TARGET}_main PRIVATE ${arg_TARGET})
  endif()
endfunction()

# netc_add_functions(TARGET tensors NET tensors.net [OUTPUT folder])
#
# The same for a file of tensor functions without a model: `#include "tensors_functions.hpp"` and link TARGET.
function(netc_add_functions)
  netc_add_model(${ARGV} ONLY_FUNCTIONS)
endfunction()
