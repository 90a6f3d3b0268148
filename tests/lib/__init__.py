# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: private servers, a cluster of daemons, clients, waiting."""
