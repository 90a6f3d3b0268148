# The three verbs of every folder's CMakeLists.txt.
#
#   add_module(name SOURCES a.c b.c USES other modules and libraries)
#   add_daemon(name SOURCES main.c ... USES modules)
#   add_unit_test(path/to/thing_test.c USES modules)

# Part of every program: the allocator, and what ThreadSanitizer passes over where it is built for that.
set(STINT_ALLOCATOR ${PROJECT_SOURCE_DIR}/core/base/malloc.c)
set(STINT_ALWAYS ${STINT_ALLOCATOR})
if(SANITIZE MATCHES thread)
  list(APPEND STINT_ALWAYS ${PROJECT_SOURCE_DIR}/tests/lib/races.c)
endif()

function(add_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC stint_options ${ARG_USES})
endfunction()

function(add_daemon name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES} ${STINT_ALWAYS})
  target_link_libraries(${name} PRIVATE stint_options ${ARG_USES})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

function(add_unit_test source)
  if(NOT BUILD_TESTING)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "USES;SOURCES" ${ARGN})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source} ${ARG_SOURCES} ${STINT_ALWAYS})
  target_link_libraries(${name} PRIVATE stint_options ${ARG_USES} cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 60
    ENVIRONMENT "LSAN_OPTIONS=print_suppressions=0:suppressions=${PROJECT_SOURCE_DIR}/tests/lib/leaks.txt")
endfunction()
