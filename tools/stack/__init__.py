# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""What tools/run is made of: places on disk, processes, PostgreSQL, chanceryd, the demonstration set, nginx."""
