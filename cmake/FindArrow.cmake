# Imported target arrow::parquet from the pyarrow wheel that tools/setup unpacked (docs/dependencies.md).
set(_dir "${VERNIER_PYARROW_DIR}")
if(NOT _dir)
  if(DEFINED ENV{VERNIER_CACHE})
    set(_cache "$ENV{VERNIER_CACHE}")
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(_cache "$ENV{XDG_CACHE_HOME}/vernier")
  else()
    set(_cache "$ENV{HOME}/.cache/vernier")
  endif()
  set(_dir "${_cache}/pyarrow-26.0.1")
endif()
# The wheel has no development links (libparquet.so): the libraries are named with their version.
find_file(ARROW_LIBRARY libarrow.so.2600 PATHS "${_dir}/pyarrow" NO_DEFAULT_PATH NO_CACHE)
find_file(ARROW_PARQUET_LIBRARY libparquet.so.2600 PATHS "${_dir}/pyarrow" NO_DEFAULT_PATH NO_CACHE)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Arrow
  REQUIRED_VARS ARROW_LIBRARY ARROW_PARQUET_LIBRARY
  REASON_FAILURE_MESSAGE "no Apache Arrow in ${_dir} (run tools/setup or set VERNIER_PYARROW_DIR)")
if(Arrow_FOUND AND NOT TARGET arrow::parquet)
  add_library(arrow::parquet INTERFACE IMPORTED)
  set_target_properties(arrow::parquet PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_dir}/pyarrow/include")
  # Only binaries that read Parquet load Arrow, though many link the library that can.
  target_link_libraries(arrow::parquet INTERFACE
    "-Wl,--push-state,--as-needed" "${ARROW_PARQUET_LIBRARY}" "${ARROW_LIBRARY}" "-Wl,--pop-state")
  target_link_options(arrow::parquet INTERFACE "LINKER:-rpath,${_dir}/pyarrow" "LINKER:-rpath-link,${_dir}/pyarrow")
endif()
