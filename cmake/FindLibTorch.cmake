# Imported target torch::cpu from the official wheel that tools/setup unpacked.
# torch's own find_package(Torch) wants a CUDA toolkit for this wheel; the CPU library does not (docs/dependencies.md).
set(_dir "${VERNIER_LIBTORCH_DIR}")
if(NOT _dir)
  if(DEFINED ENV{VERNIER_CACHE})
    set(_cache "$ENV{VERNIER_CACHE}")
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(_cache "$ENV{XDG_CACHE_HOME}/vernier")
  else()
    set(_cache "$ENV{HOME}/.cache/vernier")
  endif()
  set(_dir "${_cache}/torch-2.15.0")
endif()
find_library(LIBTORCH_CPU torch_cpu PATHS "${_dir}/torch/lib" NO_DEFAULT_PATH NO_CACHE)
find_library(LIBTORCH_C10 c10 PATHS "${_dir}/torch/lib" NO_DEFAULT_PATH NO_CACHE)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LIBTORCH_CPU LIBTORCH_C10
  REASON_FAILURE_MESSAGE "no LibTorch in ${_dir} (run tools/setup or set VERNIER_LIBTORCH_DIR)")
if(LibTorch_FOUND AND NOT TARGET torch::cpu)
  file(GLOB _cuda_libs "${_dir}/nvidia/*/lib")
  add_library(torch::cpu INTERFACE IMPORTED)
  set_target_properties(torch::cpu PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_dir}/torch/include;${_dir}/torch/include/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1;USE_DISTRIBUTED;USE_C10D_GLOO")
  target_link_libraries(torch::cpu INTERFACE ${LIBTORCH_CPU} ${LIBTORCH_C10})
  target_link_directories(torch::cpu INTERFACE "${_dir}/torch/lib")
  # torch_cpu needs libcudart and libcupti of its wheel set even where no GPU is: found through the run path.
  target_link_options(torch::cpu INTERFACE "LINKER:--disable-new-dtags" "LINKER:--allow-shlib-undefined")
  foreach(_l ${_cuda_libs} "${_dir}/torch/lib")
    target_link_options(torch::cpu INTERFACE "LINKER:-rpath,${_l}" "LINKER:-rpath-link,${_l}")
  endforeach()
endif()
